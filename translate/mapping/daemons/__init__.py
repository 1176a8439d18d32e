"""A KLIPS host as the configuration of a key daemon: strongSwan's swanctl.conf or an ipsec.conf."""
