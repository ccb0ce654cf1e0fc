import NIOCore
import Synchronization

/// One client's connection, as request handlers see it.
final class Connection: Sendable {
    let channel: any Channel
    /// Fires when the client has closed its side or the connection broke: nobody waits for the answer any more.
    let clientGone = OneShotEvent()

    init(channel: any Channel) {
        self.channel = channel
    }
}

/// The connections that are open now.
///
/// Each ``ConnectionHandler`` enters its own, so that a request handler can ask for the connection of its channel and
/// a shutdown can close what does not end by itself.
final class ConnectionRegistry: Sendable {
    private let connections = Mutex<[ObjectIdentifier: Connection]>([:])

    var count: Int { connections.withLock { $0.count } }

    func enter(_ channel: any Channel) -> Connection {
        let connection = Connection(channel: channel)
        connections.withLock { $0[ObjectIdentifier(channel)] = connection }
        return connection
    }

    func leave(_ connection: Connection) {
        connections.withLock { connections in
            _ = connections.removeValue(forKey: ObjectIdentifier(connection.channel))
        }
        connection.clientGone.fire()
    }

    func connection(of channel: any Channel) -> Connection? {
        connections.withLock { $0[ObjectIdentifier(channel)] }
    }

    /// Closes every connection, whatever it is doing.
    func closeAll() {
        for connection in connections.withLock({ Array($0.values) }) {
            connection.channel.close(promise: nil)
        }
    }
}
