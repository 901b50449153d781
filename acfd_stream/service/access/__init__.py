"""Who may call: tokens, permits, quotas, certificates, and signed resume tokens."""
