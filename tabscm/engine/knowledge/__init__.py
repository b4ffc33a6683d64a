"""What is known of the causes before a table is read, and is obeyed: by name or pattern, from a file or in Python."""

from tabscm.engine.knowledge.constraints import Constraints
from tabscm.engine.knowledge.reading import read_knowledge
from tabscm.engine.knowledge.value import Knowledge, Link, Tier

__all__ = ["Constraints", "Knowledge", "Link", "Tier", "read_knowledge"]
