# SPDX-License-Identifier: Apache-2.0
"""What runs in the process that draws posters. Only this package needs PyAV (``av``), of the extra ``posters``."""
