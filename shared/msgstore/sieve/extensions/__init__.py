"""The extensions that come with the engine, each in its own module, declared as anybody's would be."""
