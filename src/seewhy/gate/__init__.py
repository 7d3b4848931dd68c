"""Rules that an audit has to keep, and what became different between two audits. No torch."""
