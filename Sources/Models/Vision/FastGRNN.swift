import CoppiceNetworks
import CoppiceTensors

/// FastGRNN: a gated recurrent cell whose gate and candidate share both matrices, and a linear layer on the last hidden
/// state (Kusupati et al., "FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated recurrent neural network",
/// 2018, section 3.2):
///
/// z = σ(W x + U h + b_z), c = tanh(W x + U h + b_h), h' = (σ(ζ)(1 − z) + σ(ν)) ∘ c + z ∘ h.
///
/// Images are read as sequences, row by row, and each row from left to right: with as many steps as rows, a step is a row of
/// pixels; with as many as pixels, a pixel.
///
/// W and U may each be a product of two matrices of low rank, W₂ W₁. Parameters are `cell.W`, `cell.U` (or `cell.W1`,
/// `cell.W2`, `cell.U1`, `cell.U2`), `cell.bias_gate`, `cell.bias_update`, `cell.zeta`, `cell.nu`; `fc.weight`, `fc.bias`.
public final class FastGRNN: Module, VisionNetwork {
    public struct Configuration: VisionConfiguration {
        public var hiddenSize: Int
        /// The rank of W; nil where it is one matrix.
        public var inputRank: Int?
        /// The rank of U; nil where it is one matrix.
        public var stateRank: Int?
        public var options: ClassifierOptions

        /// What the paper's smallest task has: two classes of 128 steps of nine features (HAR-2).
        public static let har2 = ClassifierOptions(classes: 2, inputChannels: 9, imageSize: [128, 1])

        /// - Precondition: sizes and ranks are at least 1.
        public init(
            hiddenSize: Int = 80, inputRank: Int? = nil, stateRank: Int? = nil, options: ClassifierOptions = har2
        ) {
            precondition(min(hiddenSize, inputRank ?? 1, stateRank ?? 1) >= 1, "a recurrent network of size zero")
            self.hiddenSize = hiddenSize
            self.inputRank = inputRank
            self.stateRank = stateRank
            self.options = options
        }
    }

    public let configuration: Configuration
    @Submodule public var cell: FastGRNNCell
    @Submodule public var classifier: Linear

    /// A network with random weights: matrices normal with a deviation of 0.1, biases of ones, ζ = 1, ν = −4, as the
    /// authors start; the linear layer uniform by fan-in.
    public convenience init(_ configuration: Configuration = .init(), seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.init(configuration, &layers)
    }

    init(_ configuration: Configuration, _ layers: inout LayerBuilder) {
        self.configuration = configuration
        _cell = Submodule("cell", FastGRNNCell(configuration, &layers))
        _classifier = Submodule("fc", layers.linear(configuration.hiddenSize, configuration.classes))
    }

    /// `[sequences, time, features]`, or images `[sequences, channels, rows, columns]` → `[sequences, classes]`, from the
    /// state after the last step.
    ///
    /// - Precondition: the configuration's features; at least one step. Images of whole steps.
    public var steps: [ForwardStep] {
        [
            ForwardStep(cell) { [self] inputs in
                let sequences = inputs.rank == 4 ? read(inputs) : inputs
                precondition(
                    sequences.rank == 3 && sequences.shape[1] > 0 && sequences.shape[2] == configuration.inputChannels,
                    "sequences of shape \(sequences.shape), [sequences, time, \(configuration.inputChannels)] expected"
                )
                return cell(sequences)
            },
            ForwardStep(classifier) { [self] in classifier($0) },
        ]
    }

    /// Images `[images, channels, rows, columns]` as sequences `[images, time, features]`: the channels of a pixel, then
    /// the pixels of a row, then the rows follow each other, and each step takes as many values as it has features.
    private func read(_ images: Tensor) -> Tensor {
        let (count, features) = (images.shape[0], configuration.inputChannels)
        let values = images.shape[1...].reduce(1, *)
        precondition(
            values % features == 0, "images of shape \(images.shape) are no steps of \(features) features")
        return images.permuted([0, 2, 3, 1]).reshaped([count, values / features, features])
    }
}

/// The cell of FastGRNN, run over whole sequences.
public final class FastGRNNCell: Module {
    /// W, or W₁ and W₂: features to hidden.
    private let inputFactors: [Parameter]
    /// U, or U₁ and U₂: hidden to hidden.
    private let stateFactors: [Parameter]
    /// [hidden]: b_z.
    @Parameter public var gateBias: Tensor
    /// [hidden]: b_h.
    @Parameter public var updateBias: Tensor
    /// [1]: ζ before the sigmoid.
    @Parameter public var zeta: Tensor
    /// [1]: ν before the sigmoid.
    @Parameter public var nu: Tensor
    /// Called with every input `[..., columns]` of a matrix: for calibration.
    public var inputObserver: ((_ matrix: Parameter, _ input: Tensor) -> Void)?

    init(_ configuration: FastGRNN.Configuration, _ layers: inout LayerBuilder) {
        let hidden = configuration.hiddenSize
        /// [hidden, inputs], or [rank, inputs] and [hidden, rank].
        func factors(_ name: String, _ inputs: Int, _ rank: Int?) -> [Parameter] {
            let shapes =
                rank.map { [("\(name)1", [$0, inputs]), ("\(name)2", [hidden, $0])] } ?? [(name, [hidden, inputs])]
            return shapes.map { Parameter($0, layers.weight($1, fanIn: $1[1], fanOut: $1[0], .normal(0.1))) }
        }
        inputFactors = factors("W", configuration.inputChannels, configuration.inputRank)
        stateFactors = factors("U", hidden, configuration.stateRank)
        _gateBias = Parameter("bias_gate", layers.constant([hidden], 1))
        _updateBias = Parameter("bias_update", layers.constant([hidden], 1))
        _zeta = Parameter("zeta", layers.constant([1], 1))
        _nu = Parameter("nu", layers.constant([1], -4))
    }

    /// The hidden state after the last step, from zeros: `[sequences, time, features]` → `[sequences, hidden]`.
    public func callAsFunction(_ sequences: Tensor) -> Tensor {
        // The input's part of all steps is one product: [time, sequences, hidden].
        let inputs = product(sequences.permuted([1, 0, 2]), inputFactors)
        let (kept, leaked) = (zeta.sigmoid(), nu.sigmoid())
        var state = Tensor.zeros(Array(inputs.shape[1...]), dataType: inputs.dataType)
        for step in 0..<sequences.shape[1] {
            let sum = inputs[step] + product(state, stateFactors)
            let gate = (sum + gateBias).sigmoid()
            let candidate = (sum + updateBias).tanh()
            state = (kept * (1 - gate) + leaked) * candidate + gate * state
        }
        return state
    }

    /// x Wᵀ, factor by factor.
    private func product(_ x: Tensor, _ factors: [Parameter]) -> Tensor {
        factors.reduce(x) { input, factor in
            inputObserver?(factor, input)
            return input.matmul(factor.wrappedValue.transposed())
        }
    }
}

extension FastGRNN.Configuration {
    public static let knownNames = ["fastgrnn", "fastgrnn-80", "fastgrnn-80-w8-u16"]
    public var inputShape: [Int] { [options.imageSize.rows, options.inputChannels] }

    /// Once in every step.
    public var stepUses: [String: Int] {
        let names = (inputRank == nil ? ["W"] : ["W1", "W2"]) + (stateRank == nil ? ["U"] : ["U1", "U2"])
        return Dictionary(uniqueKeysWithValues: names.map { ("cell.\($0)", options.imageSize.rows) })
    }

    /// `fastgrnn-80` with 80 hidden units; `fastgrnn-80-w8-u16` where W has rank 8 and U rank 16.
    public var name: String {
        "fastgrnn-\(hiddenSize)" + (inputRank.map { "-w\($0)" } ?? "") + (stateRank.map { "-u\($0)" } ?? "")
    }

    public init?(named name: String) throws {
        guard let match = name.wholeMatch(of: /fastgrnn(?:-([0-9]+)(?:-w([0-9]+))?(?:-u([0-9]+))?)?/) else {
            return nil
        }
        let numbers = [match.1, match.2, match.3].map { $0.map { Int($0) ?? 0 } }
        guard numbers.allSatisfy({ $0.map((1...1 << 16).contains) ?? true }) else {
            throw Self.refusal(name, "hidden units and ranks from 1 to 65536, such as fastgrnn-80-w8-u16")
        }
        self.init(hiddenSize: numbers[0] ?? 80, inputRank: numbers[1], stateRank: numbers[2])
    }

    public init?(recognizing tensors: TensorShapes) {
        let (input, state) = (tensors["cell.W"] ?? tensors["cell.W1"], tensors["cell.U"] ?? tensors["cell.U1"])
        guard tensors["cell.zeta"] != nil, let hidden = tensors["cell.bias_gate"]?.first, let input, let state,
            input.count == 2, state.count == 2, let classes = tensors.outputs("fc"),
            min(hidden, classes, input[0], input[1], state[0]) > 0
        else { return nil }
        self.init(
            hiddenSize: hidden, inputRank: tensors["cell.W"] == nil ? input[0] : nil,
            stateRank: tensors["cell.U"] == nil ? state[0] : nil)
        options.classes = classes
        options.inputChannels = input[1]
    }

    /// Hidden units and ranks are those of the tensors.
    public func sized(by tensors: TensorShapes) -> FastGRNN.Configuration {
        guard var own = Self(recognizing: tensors) else { return self }
        own.options = options
        return own
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { FastGRNN(self, &layers) }
}
