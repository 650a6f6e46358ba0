//! What must hold for any bytes; shared by tests and fuzz targets.
