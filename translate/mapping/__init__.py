"""KLIPS to XFRM: the only place that knows both languages."""
