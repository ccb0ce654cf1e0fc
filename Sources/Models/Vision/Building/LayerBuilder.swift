import CoppiceNetworks
import CoppiceTensors
import OrderedCollections

/// Makes the layers of a network one after the other.
///
/// Every network asks here how wide its layers are, so one description of the architecture serves a network with the
/// paper's widths, one with other widths, and one that was cut and whose widths are those of a checkpoint.
public struct LayerBuilder {
    /// How the weights of a layer start. Biases start from zero, with `uniform` as the weights do.
    enum Start {
        /// Normal with variance 2 / fan-out (He et al., "Delving deep into rectifiers", 2015).
        case normalByFanOut
        /// Normal with variance 2 / fan-in (the same).
        case normalByFanIn
        /// Normal with variance 2 / (fan-in + fan-out) (Glorot and Bengio, "Understanding the difficulty of training deep
        /// feedforward neural networks", 2010).
        case normalByBoth
        /// Uniform within 1 / √fan-in: PyTorch's default.
        case uniform
        /// Normal with a standard deviation.
        case normal(Double)
    }

    /// Channels by the layer that first makes them, in the order of the network.
    private(set) var widths: OrderedDictionary<String, Int> = [:]
    /// Those that the architecture itself would have.
    private(set) var standardWidths: [String: Int] = [:]
    /// Nil for layers without weights, which take no memory.
    private var generator: RandomGenerator?
    private let multiplier: Double
    private let chosen: (String) -> Int?

    /// Layers with random weights.
    init(_ options: ClassifierOptions, seed: UInt64) {
        generator = RandomGenerator(seed: seed)
        multiplier = options.widthMultiplier
        chosen = { [widths = options.widths] in widths[$0] }
    }

    /// Layers whose weights take no memory until others are loaded.
    init(unloaded options: ClassifierOptions) {
        self.init(unloaded: options) { options.widths[$0] }
    }

    /// Layers without weights, and widths that a function chooses where it can.
    init(unloaded options: ClassifierOptions, widths: @escaping (String) -> Int?) {
        multiplier = options.widthMultiplier
        chosen = widths
    }

    /// A channel count of the paper times the width multiplier, at least one.
    func scaled(_ channels: Int) -> Int { max(1, Int((Double(channels) * multiplier).rounded())) }

    /// A channel count times the width multiplier, rounded to a multiple of eight that is at least nine tenths of it
    /// (as MobileNets are).
    func scaledToEights(_ channels: Int) -> Int {
        let exact = Double(channels) * multiplier
        let rounded = max(8, Int(exact + 4) / 8 * 8)
        return Double(rounded) < 0.9 * exact ? rounded + 8 : rounded
    }

    /// How many channels a layer makes.
    mutating func width(_ layer: String, _ standard: Int) -> Int {
        let width = chosen(layer) ?? standard
        widths[layer] = width
        standardWidths[layer] = standard
        return width
    }

    /// A square convolution that keeps the image's size at a stride of 1, unless `padding` is given.
    mutating func convolution(
        _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int = 1, padding: Int? = nil, groups: Int = 1,
        hasBias: Bool = false, start: Start = .normalByFanOut
    ) -> Conv2d {
        let taps = kernel * kernel
        let (fanIn, fanOut) = (inputs / groups * taps, outputs * taps)
        return Conv2d(
            weight: weight([outputs, inputs / groups, kernel, kernel], fanIn: fanIn, fanOut: fanOut, start),
            bias: hasBias ? bias(outputs, fanIn: fanIn, start) : nil,
            windows: Windows(kernel: .init(kernel), stride: .init(stride), padding: .init(padding ?? kernel / 2)),
            groups: groups)
    }

    mutating func linear(_ inputs: Int, _ outputs: Int, start: Start = .uniform) -> Linear {
        Linear(
            weight: weight([outputs, inputs], fanIn: inputs, fanOut: outputs, start),
            bias: bias(outputs, fanIn: inputs, start))
    }

    /// A convolution with batch normalization and perhaps a rectifier.
    ///
    /// - Parameter names: of the convolution and the normalization.
    mutating func unit(
        _ names: (convolution: String, norm: String), _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int = 1,
        groups: Int = 1, hasBias: Bool = false, rectifier: ConvolutionUnit.Rectifier = .plain,
        start: Start = .normalByFanOut
    ) -> ConvolutionUnit {
        ConvolutionUnit(
            names,
            convolution(
                inputs, outputs, kernel: kernel, stride: stride, groups: groups, hasBias: hasBias, start: start),
            rectifier: rectifier)
    }

    /// Dropout that has its own random numbers.
    mutating func dropout(_ rate: Double) -> DropoutLayer {
        DropoutLayer(rate: rate, seed: generator == nil ? 0 : draw { $0.next() })
    }

    /// Weights of any shape, random or none.
    mutating func weight(_ shape: [Int], fanIn: Int, fanOut: Int, _ start: Start) -> Tensor {
        switch start {
        case .normalByFanOut: normal(shape, (2 / Double(fanOut)).squareRoot())
        case .normalByFanIn: normal(shape, (2 / Double(fanIn)).squareRoot())
        case .normalByBoth: normal(shape, (2 / Double(fanIn + fanOut)).squareRoot())
        case .normal(let deviation): normal(shape, deviation)
        case .uniform: uniform(shape, fanIn: fanIn)
        }
    }

    private mutating func bias(_ count: Int, fanIn: Int, _ start: Start) -> Tensor {
        if case .uniform = start { return uniform([count], fanIn: fanIn) }
        return constant([count], 0)
    }

    func constant(_ shape: [Int], _ value: Double) -> Tensor {
        let value = Tensor(value, dataType: .f32).broadcast(to: shape)
        return generator == nil ? value : value.copied()
    }

    private mutating func normal(_ shape: [Int], _ deviation: Double) -> Tensor {
        guard generator != nil else { return constant(shape, 0) }
        return draw { .normal(shape, using: &$0) } * deviation
    }

    private mutating func uniform(_ shape: [Int], fanIn: Int) -> Tensor {
        guard generator != nil else { return constant(shape, 0) }
        let bound = 1 / Double(max(1, fanIn)).squareRoot()
        return draw { .uniform(shape, low: -bound, high: bound, using: &$0) }
    }

    private mutating func draw<Drawn>(_ body: (inout RandomGenerator) -> Drawn) -> Drawn {
        var own = generator ?? RandomGenerator(seed: 0)
        defer { generator = own }
        return body(&own)
    }
}
