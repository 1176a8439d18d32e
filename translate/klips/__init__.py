"""The source language: what a KLIPS host says, and how KLIPS decided."""
