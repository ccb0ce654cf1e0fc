extension Tensor {
    public func convolved(with weight: Tensor, windows: Windows, groups: Int = 1) -> Tensor {
        ConvolutionProblem(input: shape, weight: weight.shape, windows: windows, groups: groups).compute(.forward, self, weight)
    }
    public func convolutionInputGradient(weight: Tensor, inputSize: Windows.Axes, windows: Windows, groups: Int = 1) -> Tensor {
        ConvolutionProblem(input: [shape[0], weight.shape[1] * groups, inputSize.rows, inputSize.columns], weight: weight.shape, windows: windows, groups: groups).compute(.inputGradient, weight, self)
    }
    public func convolutionWeightGradient(input: Tensor, windows: Windows, groups: Int = 1) -> Tensor {
        ConvolutionProblem(input: input.shape, weight: [shape[1], input.shape[1] / groups, windows.kernel.rows, windows.kernel.columns], windows: windows, groups: groups).compute(.weightGradient, input, self)
    }
}
