"""Who somebody is: accounts, roles, logins, sessions, tokens and second factors."""
