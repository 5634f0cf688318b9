from ._graft import total

__all__ = ["total"]
