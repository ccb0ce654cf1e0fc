import CoppiceTensors

/// How much a weight matters: the smallest scores are removed first.
///
/// A criterion is a formula. It knows one matrix and, if it asks for them, the norms of that matrix's inputs on
/// calibration data; which matrices exist, who compares with whom and how many go is decided elsewhere.
public protocol Criterion: Sendable {
    /// The method's name in recipes.
    static var name: String { get }

    /// Whether ``scores(of:name:inputNorms:)`` needs the norms of the inputs, that is, calibration data.
    var needsInputNorms: Bool { get }

    /// One score per entry of a matrix.
    ///
    /// - Parameters:
    ///   - weight: W, f32 of shape `[rows = outputs, columns = inputs]`, finite.
    ///   - name: the matrix's name.
    ///   - inputNorms: ‖X_j‖₂ of each input j over all calibration tokens: `columns` numbers.
    /// - Returns: f32 of W's shape, finite.
    /// - Complexity: O(rows · columns).
    func scores(of weight: Tensor, name: String, inputNorms: [Float]?) throws -> Tensor
}

extension Criterion {
    public var needsInputNorms: Bool { false }
}
