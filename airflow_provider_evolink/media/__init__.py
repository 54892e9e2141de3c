# SPDX-License-Identifier: Apache-2.0
"""Turn whatever a user passes as an image, a video or an audio file into what a model takes, and upload it."""
