"""MLPerf Endpoints: a curve of concurrencies, measured by MLCommons' client on our server, up to the checked tree."""
