"""Claims about images."""

from repu_lab.claims.vision import images

CLAIMS = (images.CLAIM,)
