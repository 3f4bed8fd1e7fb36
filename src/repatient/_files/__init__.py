"""Files that must not break: atomic writes, sealed JSON, folders of models, scratch arrays."""
