import CoppiceTensors

/// How far a network's outputs are from those it had.
public enum OutputDistortion: String, Sendable, Hashable, Codable, CaseIterable {
    /// The mean over examples of each one's squared error.
    case mean
    /// The largest of any example.
    case worst

    /// The mean squared error of each example's outputs.
    ///
    /// - Parameters:
    ///   - outputs: `[examples, ...]`.
    ///   - reference: of the same shape.
    /// - Complexity: O(elements), summed in f64.
    public static func squaredErrors(_ outputs: Tensor, to reference: Tensor) -> [Double] {
        precondition(outputs.shape == reference.shape, "outputs of \(outputs.shape) against \(reference.shape)")
        let examples = outputs.shape.first ?? 0
        guard examples > 0, outputs.count > 0 else { return [] }
        let width = outputs.count / examples
        return outputs.converted(to: .f32).contiguous().withElements(Float.self) { outputs in
            reference.converted(to: .f32).contiguous().withElements(Float.self) { reference in
                (0..<examples).map { example in
                    var sum = 0.0
                    for index in (example * width)..<((example + 1) * width) {
                        let difference = Double(outputs[index]) - Double(reference[index])
                        sum += difference * difference
                    }
                    return sum / Double(width)
                }
            }
        }
    }

    /// One number of all examples' errors; 0 of none.
    public func value(of errors: [Double]) -> Double {
        switch self {
        case .mean: errors.isEmpty ? 0 : errors.reduce(0, +) / Double(errors.count)
        // NaN must not be lost among numbers.
        case .worst: errors.reduce(0) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
        }
    }
}
