"""Who may do what: users and roles, tokens, OIDC, sessions."""
