"""Judging masks and maps, case by case, by several readers, with nothing ever lost.

A review is one SQLite file that a group shares. `form` says what is asked, `item` what is judged,
`event` what readers did; `review_file` keeps them. Whatever draws a window or prints a table is a
client of these.
"""
