"""Whether two hosts treat every packet alike, and a packet that they do not."""
