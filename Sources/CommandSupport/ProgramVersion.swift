/// The version of both programs, and of the Python package (`python/statex/__init__.py`).
public let programVersion = "0.1.0"
