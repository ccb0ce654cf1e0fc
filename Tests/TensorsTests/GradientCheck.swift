import CoppiceTensors
import Testing

/// Checks derivatives of a function of f64 tensors against central finite differences: gradients by each input against
/// differences of values, and products of the Hessian with a random direction against differences of gradients.
///
/// The function may return any shape: its elements are weighted with fixed random numbers and summed.
struct GradientCheck {
    /// The largest error, relative to the largest derivative of the tensor (or 1, where all are smaller).
    static let tolerance = 1e-6

    var name: String
    var inputs: [Tensor]
    var checksSecondOrder = true
    var function: ([Tensor]) -> Tensor

    init(
        _ name: String, _ inputs: [Tensor], secondOrder: Bool = true, _ function: @escaping ([Tensor]) -> Tensor
    ) {
        self.name = name
        self.inputs = inputs
        checksSecondOrder = secondOrder
        self.function = function
    }

    /// Numbers that keep away from zero (where some functions have no derivative) and from each other.
    static func numbers(
        _ shape: [Int], from low: Double = 0.3, to high: Double = 2, signed: Bool = true, seed: UInt64 = 1
    )
        -> Tensor
    {
        var generator = RandomGenerator(seed: seed)
        let sizes = Tensor.uniform(shape, low: low, high: high, dataType: .f64, using: &generator)
        if !signed { return sizes }
        return sizes * (Tensor.bernoulli(shape, probability: 0.5, dataType: .f64, using: &generator) * 2 - 1)
    }

    func check(sourceLocation: SourceLocation = #_sourceLocation) {
        let analytic = gradient(at: inputs)
        for (index, input) in inputs.enumerated() {
            #expect(analytic[index].shape == input.shape, "\(name), input \(index)", sourceLocation: sourceLocation)
            #expect(analytic[index].dataType == input.dataType, "\(name)", sourceLocation: sourceLocation)
            let numeric = differences(input) { value(at: replacing(index, with: $0)) }
            let error = relativeError(analytic[index], numeric)
            #expect(error < Self.tolerance, "\(name): gradient by input \(index)", sourceLocation: sourceLocation)
        }
        guard checksSecondOrder else { return }
        let directions = inputs.enumerated().map { index, input in
            Self.numbers(input.shape, from: -1, to: 1, signed: false, seed: 100 + UInt64(index))
        }
        let products = hessianVectorProduct(of: scalar, at: inputs, direction: directions)
        let step = 1e-5
        func moved(_ step: Double) -> [Tensor] {
            gradient(at: zip(inputs, directions).map { ($0 + $1 * step).detached() })
        }
        for (index, (high, low)) in zip(moved(step), moved(-step)).enumerated() {
            let error = relativeError(products[index], ((high - low) / (2 * step)).doubles())
            #expect(error < Self.tolerance, "\(name): Hessian, input \(index)", sourceLocation: sourceLocation)
        }
    }

    private func scalar(_ inputs: [Tensor]) -> Tensor {
        let output = function(inputs)
        let weights = Self.numbers(output.shape, from: -1, to: 1, signed: false, seed: 99)
        return (output * weights).sum()
    }

    private func value(at inputs: [Tensor]) -> Double { scalar(inputs).doubles()[0] }

    private func gradient(at point: [Tensor]) -> [Tensor] {
        let inputs = point.map { $0.tracked() }
        return gradients(of: scalar(inputs), withRespectTo: inputs)
    }

    private func replacing(_ index: Int, with input: Tensor) -> [Tensor] {
        var inputs = inputs
        inputs[index] = input
        return inputs
    }

    private func differences(_ point: Tensor, _ value: (Tensor) -> Double) -> [Double] {
        let start = point.doubles()
        return start.indices.map { place in
            let step = 1e-6 * max(1, abs(start[place]))
            var elements = start
            elements[place] += step
            let high = value(Tensor(elements, shape: point.shape))
            elements[place] -= 2 * step
            return (high - value(Tensor(elements, shape: point.shape))) / (2 * step)
        }
    }
}
