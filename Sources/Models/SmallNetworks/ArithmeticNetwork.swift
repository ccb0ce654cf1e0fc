import CoppiceNetworks
import CoppiceTensors

/// A network that reads two tokens and answers with a class: what learns tables of binary operations.
///
/// Inputs are pairs of tokens `[examples, 2]`, or weights of all tokens at both places, `[examples, 2, tokens]`, of
/// which a pair is the special case of a single one each. The loss is cross-entropy in f64
/// (``CoppiceTensors/Tensor/preciseCrossEntropy(targets:)``).
public protocol ArithmeticNetwork: SupervisedNetwork {
    var tokenCount: Int { get }
}

extension ArithmeticNetwork {
    public func loss(_ batch: LabeledBatch) -> Tensor {
        outputs(batch.inputs).preciseCrossEntropy(targets: batch.targets)
    }

    /// Tokens at one of the two places, `[examples]`.
    func tokens(_ inputs: Tensor, at place: Int) -> Tensor {
        inputs.slice(axis: 1, place..<(place + 1)).reshaped([inputs.shape[0]])
    }

    /// Weights of tokens at one of the two places, `[examples, tokens]`.
    func weights(_ inputs: Tensor, at place: Int) -> Tensor {
        inputs.slice(axis: 1, place..<(place + 1)).reshaped([inputs.shape[0], inputs.shape[2]])
    }

    func checkInputs(_ inputs: Tensor) {
        precondition(
            inputs.dataType.isFloatingPoint
                ? inputs.rank == 3 && inputs.shape[1] == 2 && inputs.shape[2] == tokenCount
                : inputs.rank == 2 && inputs.shape[1] == 2,
            "inputs of shape \(inputs.shape), expected [examples, 2] tokens or [examples, 2, \(tokenCount)] weights")
    }
}

/// Draws the weights of bias-free layers: normal, with standard deviation `scale` / √(inputs).
struct NormalLayers {
    private let scale: Double
    private var generator: RandomGenerator

    init(scale: Double, seed: UInt64) {
        self.scale = scale
        generator = RandomGenerator(seed: seed)
    }

    mutating func linear(_ inputs: Int, _ outputs: Int) -> Linear { Linear(weight: matrix(outputs, inputs, inputs)) }

    /// A table whose standard deviation goes by the number of tokens, the inputs of a one-hot layer.
    mutating func embedding(_ tokens: Int, _ size: Int) -> Embedding { Embedding(weight: matrix(tokens, size, tokens)) }

    private mutating func matrix(_ rows: Int, _ columns: Int, _ fanIn: Int) -> Tensor {
        .normal([rows, columns], standardDeviation: scale / Double(fanIn).squareRoot(), using: &generator)
    }
}
