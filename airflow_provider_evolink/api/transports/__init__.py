# SPDX-License-Identifier: Apache-2.0
"""How a request reaches EvoLink: httpx for everything that costs money, aiohttp for the many small polls."""
