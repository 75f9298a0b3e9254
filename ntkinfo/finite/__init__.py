"""Networks of finite width, trained member by member."""
