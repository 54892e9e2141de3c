# SPDX-License-Identifier: Apache-2.0
"""Testing support that the demo, the benchmarks and the tests share: real services on the loopback address.

It is for development only and not packaged. It imports neither ``demo`` nor ``benchmarks`` nor ``tests``.
"""
