"""Does a finding move the decision? Its evidence is removed, transplanted and projected out."""

from seewhy.proving.prove import prove, prove_all

__all__ = ["prove", "prove_all"]
