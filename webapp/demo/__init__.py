"""The main job from card to verdict, played through processes as people would (`mohr demo`)."""
