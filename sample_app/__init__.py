"""Two services that share categories through Kafka, as a user of streambind would write them."""
