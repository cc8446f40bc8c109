#!/bin/sh
# Start a broker of one node that tells clients the address of this pod.
set -eu
cat >/data/server.properties <<END
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9095
advertised.listeners=PLAINTEXT://$POD_IP:9092
controller.quorum.voters=1@127.0.0.1:9095
controller.listener.names=CONTROLLER
log.dirs=/data/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
END
java="java -Xmx512m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
export CLASSPATH='/opt/kafka/*'
$java kafka.tools.StorageTool format --config /data/server.properties --cluster-id fraud-detector-0000000
exec $java kafka.Kafka /data/server.properties
