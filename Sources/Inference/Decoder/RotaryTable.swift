import CKernels
import CoppiceModels

/// The rotation frequencies of a model in f32, and the angles of a pass's tokens.
///
/// Frequencies follow `transformers`: computed in full, then rounded to f32, as is every angle `position · frequency`
/// before its cosine is taken.
public struct RotaryTable: Sendable {
    /// Angle per position of each pair of elements, for texts within the context.
    public let frequencies: [Float]
    /// What cosines and sines are multiplied with.
    public let amplitude: Float
    /// Whether the pairs are neighbours (2i, 2i + 1) rather than halves (i, i + size / 2).
    public let isInterleaved: Bool
    private let configuration: RotaryConfiguration
    private let headSize: Int
    private let context: Int

    /// - Precondition: `headSize` is even.
    public init(_ configuration: RotaryConfiguration, headSize: Int, context: Int) {
        precondition(headSize.isMultiple(of: 2), "rotary embedding needs an even head size, not \(headSize)")
        let (angles, amplitude) = configuration.frequencies(headSize: headSize, context: context, length: 0)
        self.frequencies = angles.map { Float($0) }
        self.amplitude = Float(amplitude)
        isInterleaved = configuration.isInterleaved
        self.configuration = configuration
        self.headSize = headSize
        self.context = context
    }

    /// Whether a text of this length turns at other frequencies than a short one (dynamic scaling beyond the context).
    public func dependsOnLength(_ length: Int) -> Bool {
        if case .dynamic = configuration.scaling { return length > context }
        return false
    }

    /// The frequencies for a text of `length` positions. O(1) except where ``dependsOnLength(_:)``.
    public func frequencies(length: Int) -> [Float] {
        guard dependsOnLength(length) else { return frequencies }
        return configuration.frequencies(headSize: headSize, context: context, length: length).angles.map { Float($0) }
    }

    /// Writes cosines and sines, each `[positions.count, frequencies]`, times ``amplitude``.
    ///
    /// - Parameter isExact: whether angles are not rounded to f32, for positions that only their differences matter of.
    func writeAngles(
        of positions: UnsafePointer<Int32>, count: Int, length: Int, isExact: Bool,
        cosines: UnsafeMutablePointer<Float>, sines: UnsafeMutablePointer<Float>
    ) {
        let frequencies = frequencies(length: length)
        coppice_rotary_angles(
            positions, count, frequencies, frequencies.count, amplitude, isExact ? 1 : 0, cosines, sines)
    }
}
