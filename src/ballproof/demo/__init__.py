"""The whole story on embedded data: two dimensions to see it all, then digits."""

from ballproof.demo.story import tell_story

__all__ = ["tell_story"]
