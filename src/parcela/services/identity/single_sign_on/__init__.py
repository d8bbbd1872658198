"""Single sign-on through a provider of OpenID Connect."""
