"""N independent tasks and their sum, as Metaflow's users write them: a foreach and a join."""

from metaflow import FlowSpec, Parameter, step


class IncFlow(FlowSpec):
    n = Parameter("n", type=int, default=1000)

    @step
    def start(self):
        self.items = list(range(self.n))
        self.next(self.inc, foreach="items")

    @step
    def inc(self):
        self.value = self.input + 1
        self.next(self.total)

    @step
    def total(self, inputs):
        self.sum = sum(each.value for each in inputs)
        self.next(self.end)

    @step
    def end(self):
        print(self.sum)


if __name__ == "__main__":
    IncFlow()
