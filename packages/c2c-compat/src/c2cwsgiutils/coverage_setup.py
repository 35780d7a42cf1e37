"""Coverage of a service's processes."""

import c2c_meta

init = includeme = c2c_meta.start_coverage
