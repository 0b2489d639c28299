"""A second reading of policy/RULES.md: decides over the DER, and shares no code with what it judges."""
