import CoppiceNetworks
import CoppiceTensors

/// A network of texts whose layers run one after the other: what measures of single layers go through, since what
/// reaches a layer does not depend on those behind it.
///
/// Hidden states are `[texts, positions, hidden]`. Embedding tokens and running all layers gives what the network makes of
/// the same texts:
///
/// ```swift
/// let context = network.context(of: tokens)
/// var hidden = network.embedded(tokens, context)
/// for index in 0..<network.layerCount { hidden = network.layer(index, hidden, context) }
/// let outputs = network.outputs(ofHidden: hidden)     // equal to network.outputs(tokens)
/// ```
public protocol LayeredTextNetwork: SupervisedNetwork {
    /// What of a layer may be removed.
    associatedtype Block: TextBlockPlace
    /// What every layer reads beside hidden states: where positions are, what is padding.
    associatedtype Context

    var layerCount: Int { get }

    /// - Parameter tokens: `[texts, positions]`.
    func context(of tokens: Tensor) -> Context

    /// What goes into the first layer.
    func embedded(_ tokens: Tensor, _ context: Context) -> Tensor

    /// What a layer makes of hidden states.
    ///
    /// - Parameter block: of this layer, left out as if it were not there; nil: nothing is.
    func layer(_ index: Int, _ hidden: Tensor, _ context: Context, without block: Block?) -> Tensor

    /// What the head reads: rows of as many features each, `[rows, features]`.
    func headInput(ofHidden hidden: Tensor) -> Tensor

    /// What the head makes of hidden states that all layers have passed.
    func outputs(ofHidden hidden: Tensor) -> Tensor

    /// The layer that a matrix is in; ``layerCount`` for those of the head, nil for tables that are looked up.
    func layerIndex(ofMatrix name: String) -> Int?
}

extension LayeredTextNetwork {
    public func layer(_ index: Int, _ hidden: Tensor, _ context: Context) -> Tensor {
        layer(index, hidden, context, without: nil)
    }

    /// What the head makes of hidden states that reach a layer.
    public func outputs(ofHidden hidden: Tensor, before layer: Int, _ context: Context) -> Tensor {
        outputs(ofHidden: (layer..<layerCount).reduce(hidden) { self.layer($1, $0, context) })
    }
}

/// A block of a network of texts: a layer or a part of one.
public protocol TextBlockPlace: BlockPlace {
    /// Its layer, from 0.
    var layer: Int { get }
}
