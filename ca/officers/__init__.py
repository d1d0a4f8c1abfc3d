"""Officers: who they are, in which realm they may do what, and how they prove that they are they."""
