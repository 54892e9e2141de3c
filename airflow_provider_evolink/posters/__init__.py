# SPDX-License-Identifier: Apache-2.0
"""Draw posters: small JPEGs that show what is in a video, an image or an audio file.

Media files come from outside, and decoders are large programs in C. So a process of its own decodes them, with limits
on its memory, its time and the pixels it takes, without the task's environment, and its end is no more than a missing
poster.

1. :mod:`painter` starts that process for a task, hands it open files, and takes what it draws.
2. :mod:`drawing` is what runs there: :mod:`drawing.frames` picks the frames to show, :mod:`drawing.waveform` draws
   sound, and :mod:`drawing.jpeg` makes the JPEG.
3. :mod:`stamp` writes into a poster which file it shows, so that it is recognized on any storage.

Nothing here imports Airflow, or knows where files land.
"""
