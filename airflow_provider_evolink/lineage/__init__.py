# SPDX-License-Identifier: Apache-2.0
"""What a run of a task has read, made and written, in OpenLineage's terms. Pure; it needs no OpenLineage."""
