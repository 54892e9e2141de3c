# SPDX-License-Identifier: Apache-2.0
"""The ``@task.evolink`` decorator."""
