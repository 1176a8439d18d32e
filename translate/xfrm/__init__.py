"""The target language: policies, templates and states of the kernel's XFRM."""
