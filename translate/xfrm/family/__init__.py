"""NETLINK_XFRM for pyroute2: messages and attributes as nlmsg and nla classes.

Layouts are those of include/uapi/linux/xfrm.h on 64-bit machines; names of fields and attributes
are the kernel's.  The ``id`` of the kernel's structures is spread into its owner (``daddr``,
``spi``, ``proto``), the other structures are dictionaries of their own: ``sel``, ``lft``,
``curlft``.  Addresses are text where the structure says their family, else bytes.

Nothing here knows the rest of this project, so that it can be taken into pyroute2 as it stands; it
works with pyroute2 from 0.7.2 on.  Keys are :class:`.structure.Key`, which prints its length only.
"""
