"""Translate the traffic policy of a KLIPS host to XFRM, MAST and other modern targets."""

__version__ = "0.1.0"
