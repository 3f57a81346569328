"""TOML to settings: ``schema`` says what there is, ``loader`` reads it and reports every fault at once."""
