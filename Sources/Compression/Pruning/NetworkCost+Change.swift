import CoppiceModels
import CoppiceNetworks
import Foundation
import OrderedCollections

extension NetworkCost {
    /// A network's cost and that of what is left of it, for a line.
    ///
    /// - Parameter unit: what multiplications are called.
    func change(to after: NetworkCost, unit: String) -> String {
        func share(_ new: Int, _ old: Int) -> String { String(format: "%.1f %%", 100 * Double(new) / Double(old)) }
        return "\(parameters) parameters → \(after.parameters) (\(share(after.parameters, parameters))), "
            + "\(multiplyAccumulates) \(unit) → \(after.multiplyAccumulates) "
            + "(\(share(after.multiplyAccumulates, multiplyAccumulates)))"
    }

    /// The same for other programs: `parameters_before`, `parameters_after`, `multiplications_before`,
    /// `multiplications_after`.
    package func changeMembers(to after: NetworkCost) -> OrderedDictionary<String, JSON> {
        [
            "parameters_before": .integer(parameters), "parameters_after": .integer(after.parameters),
            "multiplications_before": .integer(multiplyAccumulates),
            "multiplications_after": .integer(after.multiplyAccumulates),
        ]
    }
}
