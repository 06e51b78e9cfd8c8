"""The main job, stage by stage: ``pipeline`` puts them together (see ``docs/carrying-on.md``)."""
