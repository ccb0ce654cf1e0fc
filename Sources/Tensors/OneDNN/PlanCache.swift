import Synchronization

/// oneDNN primitives made so far: making one takes longer than a small product.
final class PlanCache<Key: Hashable, Plan: AnyObject & Sendable>: Sendable where Key: Sendable {
    private let plans = Mutex<[Key: Plan]>([:])
    private let make: @Sendable (Key) -> Plan?
    /// A network has few distinct shapes. Where shapes vary without end, the cache starts again.
    private let limit = 1024

    /// - Parameter make: nil where there is no such plan.
    init(_ make: @escaping @Sendable (Key) -> Plan?) { self.make = make }

    /// The plan of a key, made where there is none yet.
    func cached(_ key: Key) -> Plan? {
        if let plan = plans.withLock({ $0[key] }) { return plan }
        guard let plan = make(key) else { return nil }
        return plans.withLock { plans in
            if plans.count >= limit { plans = [:] }
            // Another thread may have been faster: all use the same one.
            if let existing = plans[key] { return existing }
            plans[key] = plan
            return plan
        }
    }
}
