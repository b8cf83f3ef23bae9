/// The version of both programs and of the Python package (`python/statex/__init__.py`), which model cards
/// record.
public let programVersion = "0.1.0"
