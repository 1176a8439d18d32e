"""From a Ruleset to the kernel: plan, transaction, journal, confirmation, rollback."""
