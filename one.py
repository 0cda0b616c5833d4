import ems
@ems.task
def t(): return 1
@ems.pipeline
def main(): return t()
