import CoppiceTensors

/// What a ``Module`` finds in its properties: a tensor or a part, under its name in checkpoints.
public class ModuleMember {
    /// The last part of its dotted name.
    public let key: String

    init(key: String) { self.key = key }

    /// The modules in it, each with the part of its name after the key.
    var modules: [(suffix: String, module: Module)] { [] }

    /// The name of one of its modules within the module whose member it is.
    final func path(_ suffix: String) -> String { key.isEmpty ? String(suffix.drop { $0 == "." }) : key + suffix }
}

/// A trainable tensor of a module, under its name in checkpoints.
///
/// ```swift
/// final class Scale: Module {
///     @Parameter("weight") var weight: Tensor
///     init(size: Int) { _weight = Parameter("weight", .ones([size])) }
/// }
/// ```
@propertyWrapper
public final class Parameter: ModuleMember {
    private var value: Tensor
    /// Whether gradients are taken with respect to it.
    public var isTrainable = true {
        didSet { wrappedValue = value }
    }

    /// Whether weight decay may apply to it.
    public var decays = true

    public init(_ key: String, _ value: Tensor) {
        self.value = value.tracked()
        super.init(key: key)
    }

    /// The tensor, tracked where trainable. Setting it forgets how the new value was computed.
    public var wrappedValue: Tensor {
        get { value }
        set { value = isTrainable ? newValue.tracked() : newValue.detached() }
    }

    /// Computes with a tensor in the parameter's place, as it is: gradients flow to what it was computed from. For
    /// networks whose weights are functions of others (masked, decomposed, adapted).
    ///
    /// - Precondition: the parameter's shape.
    public func substitute(_ computed: Tensor) {
        precondition(computed.shape == value.shape, "\(key) of shape \(value.shape), not \(computed.shape)")
        value = computed
    }

    /// Changes elements in place; f32.
    ///
    /// - Precondition: as many elements of type f32 as the tensor has.
    public func update(_ body: (UnsafeMutableBufferPointer<Float>) -> Void) {
        var own = value.detached()
        // The only reference: in place, not in a copy.
        value = Tensor.zeros([])
        own.withMutableElements(Float.self, body)
        wrappedValue = own
    }

    public var projectedValue: Parameter { self }
}

/// Numbers that a module keeps but that are not trained (running statistics), under their checkpoint name.
@propertyWrapper
public final class StateTensor: ModuleMember {
    public var wrappedValue: Tensor

    public init(_ key: String, _ value: Tensor) {
        wrappedValue = value.detached()
        super.init(key: key)
    }

    public var projectedValue: StateTensor { self }
}

/// A part of a module, or a list of parts, under its name in checkpoints. With an empty name, what is in the part is
/// named as if it were the module's own.
@propertyWrapper
public final class Submodule<Value>: ModuleMember {
    public var wrappedValue: Value

    public init(_ key: String, _ value: Value) {
        wrappedValue = value
        super.init(key: key)
    }

    public var projectedValue: Submodule<Value> { self }

    override var modules: [(suffix: String, module: Module)] {
        if let module = wrappedValue as? Module { return [("", module)] }
        if let list = wrappedValue as? [Module] { return list.enumerated().map { (".\($0.offset)", $0.element) } }
        return []
    }
}
